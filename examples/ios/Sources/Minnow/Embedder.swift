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

/// Turns texts into vectors, one call after the other, off the main thread.
///
/// The functions of this package throw `MinnowError`.
public actor Embedder {
    /// The number of floats in a vector.
    public nonisolated let width: Int
    /// The embedder for indexes and memories, whose functions take turns with those here.
    nonisolated let handle: Handle

    private init(_ handle: Handle) {
        self.handle = handle
        width = Int(minnow_width(handle.pointer))
    }

    /// Opens a bundle or an mnn-llm directory.
    public static func open(_ folder: URL, options: Options = Options()) async throws -> Embedder {
        var given = options.given
        return try opened { minnow_open(folder.path, &given, $0.0, $0.1) }
    }

    /// Opens a bundle on the fastest backend and mode that gives its vectors on this device.
    ///
    /// `record` is a file of the app's own, which keeps what was tried; the options choose threads and power only.
    public static func openBest(_ folder: URL, record: URL, options: Options = Options()) async throws -> Embedder {
        var given = options.given
        return try opened { minnow_open_best(folder.path, record.path, &given, $0.0, $0.1) }
    }

    /// Makes an embedder of an app's own function, which returns a vector for each text, or nil if it fails.
    ///
    /// `model` is the JSON of the fact "model" of index files (docs/index-format.md).
    public static func wrap(
        model: String, _ encode: @escaping @Sendable ([String], Role) -> [[Float]]?
    ) async throws -> Embedder {
        let own = OwnEncoder(encode)
        var given = minnow_encoder(context: Unmanaged.passUnretained(own).toOpaque()) { context, given, count, role, vectors in
            let own = Unmanaged<OwnEncoder>.fromOpaque(context!).takeUnretainedValue()
            let rows = own.encode(texts(given, count), Role(rawValue: role) ?? .none)
            guard let rows, rows.count == count, rows.allSatisfy({ $0.count == own.width }) else { return 1 }
            for (n, row) in rows.enumerated() {
                (vectors! + n * own.width).update(from: row, count: row.count)
            }
            return 0
        }
        let pointer = try callNative { minnow_wrap(&given, model, $0.0, $0.1) }
        let made = Embedder(Handle(pointer, uses: own, close: minnow_close))
        own.width = made.width
        return made
    }

    /// Returns whether the bundle's manifest proves its vectors with these options on this kind of processor.
    public static func isProven(_ folder: URL, options: Options = Options()) throws -> Bool {
        var given = options.given
        return try countNative { Int64(minnow_is_proven(folder.path, &given, $0.0, $0.1)) } == 1
    }

    private static func opened(_ open: (Message) -> OpaquePointer?) throws -> Embedder {
        Embedder(Handle(try callNative(open), close: minnow_close))
    }

    /// Returns a vector for each text.
    public func encode(_ texts: [String], role: Role = .none) throws -> [[Float]] {
        var rows = [Float](repeating: 0, count: texts.count * width)
        try withViews(of: texts) { views in
            try checkNative {
                minnow_encode(handle.pointer, views, views.count, role.rawValue, &rows, $0.0, $0.1)
            }
        }
        return texts.indices.map { Array(rows[$0 * width..<($0 + 1) * width]) }
    }

    /// Returns the vector of a question.
    public func encodeQuery(_ text: String) throws -> [Float] {
        try encode([text], role: .query)[0]
    }

    /// Returns the vectors of documents.
    public func encodeDocument(_ texts: [String]) throws -> [[Float]] {
        try encode(texts, role: .document)
    }
}

/// What minnow.h calls for the vectors of an app. The width is set before the first call.
private final class OwnEncoder: @unchecked Sendable {
    let encode: @Sendable ([String], Role) -> [[Float]]?
    var width = 0

    init(_ encode: @escaping @Sendable ([String], Role) -> [[Float]]?) {
        self.encode = encode
    }
}
