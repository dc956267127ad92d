import CMinnow
import Foundation

/// The role of a text; a model may have a prompt for each.
public enum Role: Int32, Sendable {
    case none = 0, query, document
}

/// MNN's modes. As `Options.precision`, `low` computes in half precision.
public enum Mode: Int32, Sendable {
    case normal = 0, high, low
}

/// MNN's backends. `coreML` needs fixed-shape encoders.
public enum Backend: Int32, Sendable {
    case cpu = 0, metal = 1, coreML = 5
}

/// Options to run a model.
public struct Options: Sendable {
    public var backend = Backend.cpu
    public var threads: Int32 = 2
    public var precision = Mode.normal
    public var power = Mode.normal
    public var memory = Mode.normal
    /// Use the bundle's fixed-shape encoders.
    public var fixedShapes = false

    public init() {}

    /// The same as minnow.h has them.
    var given: minnow_options {
        minnow_options(
            backend: backend.rawValue, threads: threads, precision: precision.rawValue,
            power: power.rawValue, memory: memory.rawValue, fixed_shapes: fixedShapes ? 1 : 0)
    }
}

/// An error; the message names the file or text and the fault.
public struct EmbedderError: LocalizedError {
    public let message: String
    public var errorDescription: String? { message }

    public init(message: String) {
        self.message = message
    }
}

/// A pointer of the library, which may be used from any thread.
struct Handle: @unchecked Sendable {
    let pointer: OpaquePointer
}

/// Turns texts into vectors, one call after the other, off the main thread.
public actor Embedder {
    /// The number of floats in a vector.
    public nonisolated let width: Int
    /// The embedder for indexes and memories, whose functions take turns with those here.
    nonisolated let shared: Handle
    private var handle: OpaquePointer { shared.pointer }

    /// Opens a bundle or an mnn-llm directory.
    ///
    /// With `bestRecord`, a file of the app's own, the fastest backend and mode that gives the
    /// bundle's vectors on this device is taken and kept there; the options choose threads and
    /// power only.
    public init(folder: URL, options: Options = Options(), bestRecord: URL? = nil) throws {
        var given = options.given
        let opened: OpaquePointer = try callNative { message, size in
            guard let record = bestRecord else { return minnow_open(folder.path, &given, message, size) }
            return minnow_open_best(folder.path, record.path, &given, message, size)
        }
        shared = Handle(pointer: opened)
        width = Int(minnow_width(opened))
    }

    deinit {
        minnow_close(shared.pointer)
    }

    /// Returns a vector for each text.
    public func encode(_ texts: [String], role: Role = .none) throws -> [[Float]] {
        var rows = [Float](repeating: 0, count: texts.count * width)
        var message = [CChar](repeating: 0, count: 1000)
        let failed = withViews(of: texts) { views in
            minnow_encode(handle, views, views.count, role.rawValue, &rows, &message, message.count)
        }
        if failed != 0 {
            throw EmbedderError(message: String(cString: message))
        }
        return texts.indices.map { Array(rows[$0 * width..<($0 + 1) * width]) }
    }
}

/// Calls a function of minnow.h, which takes a place for a message and its size, and returns what that returns.
///
/// Where the function returns nil, throws its message.
func callNative<Found>(_ function: (UnsafeMutablePointer<CChar>?, Int) -> Found?) throws -> Found {
    var message = [CChar](repeating: 0, count: 1000)
    let found = message.withUnsafeMutableBufferPointer { function($0.baseAddress, $0.count) }
    guard let found else {
        throw EmbedderError(message: String(cString: message))
    }
    return found
}

/// Calls a function with the texts as minnow.h takes them; they live as long as the call.
func withViews<Result>(of texts: [String], _ call: ([minnow_text]) throws -> Result) rethrows -> Result {
    let bytes = texts.flatMap { $0.utf8.map { CChar(bitPattern: $0) } }
    return try bytes.withUnsafeBufferPointer { buffer in
        var start = 0
        return try call(
            texts.map { text in
                defer { start += text.utf8.count }
                return minnow_text(
                    bytes: buffer.baseAddress.map { $0 + start }, size: text.utf8.count)
            })
    }
}
