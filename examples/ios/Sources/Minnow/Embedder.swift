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
}

/// An error; the message names the file or text and the fault.
public struct EmbedderError: LocalizedError {
    public let message: String
    public var errorDescription: String? { message }

    public init(message: String) {
        self.message = message
    }
}

/// Turns texts into vectors, one call after the other, off the main thread.
public actor Embedder {
    /// The number of floats in a vector.
    public nonisolated let width: Int
    private let handle: OpaquePointer

    /// Opens a bundle or an mnn-llm directory.
    public init(folder: URL, options: Options = Options()) throws {
        var given = minnow_options()
        given.backend = options.backend.rawValue
        given.threads = options.threads
        given.precision = options.precision.rawValue
        given.power = options.power.rawValue
        given.memory = options.memory.rawValue
        given.fixed_shapes = options.fixedShapes ? 1 : 0
        var message = [CChar](repeating: 0, count: 1000)
        guard let opened = minnow_open(folder.path, &given, &message, message.count) else {
            throw EmbedderError(message: String(cString: message))
        }
        handle = opened
        width = Int(minnow_width(opened))
    }

    deinit {
        minnow_close(handle)
    }

    /// Returns a vector for each text.
    public func encode(_ texts: [String], role: Role = .none) throws -> [[Float]] {
        let bytes = texts.flatMap { $0.utf8.map { CChar(bitPattern: $0) } }
        let sizes = texts.map { $0.utf8.count }
        var rows = [Float](repeating: 0, count: texts.count * width)
        var message = [CChar](repeating: 0, count: 1000)
        let failed = bytes.withUnsafeBufferPointer { buffer in
            var start = 0
            let views = sizes.map { size -> minnow_text in
                defer { start += size }
                return minnow_text(bytes: buffer.baseAddress.map { $0 + start }, size: size)
            }
            return minnow_encode(
                handle, views, views.count, role.rawValue, &rows, &message, message.count)
        }
        if failed != 0 {
            throw EmbedderError(message: String(cString: message))
        }
        return texts.indices.map { Array(rows[$0 * width..<($0 + 1) * width]) }
    }
}
