import CMinnow
import Foundation

/// An error of the library; the message names the file or text and the fault.
public struct MinnowError: LocalizedError, Sendable {
    public let message: String
    public var errorDescription: String? { message }

    public init(message: String) {
        self.message = message
    }
}

/// How far something is: `done` of `total`, in texts or in bytes. Foundation has another Progress.
public struct StepProgress: Sendable, Equatable {
    public let done: Int
    public let total: Int
}

/// Something open in the library, which takes calls from any thread. It is closed with the last reference to it.
final class Handle: @unchecked Sendable {
    let pointer: OpaquePointer
    private let close: @Sendable (OpaquePointer) -> Void
    private let uses: (any Sendable)?  // stays open as long

    init(_ pointer: OpaquePointer, uses: (any Sendable)? = nil, close: @escaping @Sendable (OpaquePointer) -> Void) {
        self.pointer = pointer
        self.uses = uses
        self.close = close
    }

    deinit {
        close(pointer)
    }
}

/// A place for a message of minnow.h, and its size.
typealias Message = (UnsafeMutablePointer<CChar>?, Int)

/// Calls a function of minnow.h with a place for its message, and throws the message where the function fails.
func callNative<Found>(_ function: (Message) -> Found?) throws -> Found {
    var message = [CChar](repeating: 0, count: 1000)
    let found = message.withUnsafeMutableBufferPointer { function(($0.baseAddress, $0.count)) }
    guard let found else {
        throw MinnowError(message: String(decoding: message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))
    }
    return found
}

/// Calls a function that returns 0, and throws its message where it does not.
func checkNative(_ function: (Message) -> Int32) throws {
    try callNative { function($0) == 0 ? () : nil }
}

/// Calls a function that counts, and throws its message where it returns -1.
func countNative(_ function: (Message) -> Int64) throws -> Int {
    try callNative { message in
        let count = function(message)
        return count < 0 ? nil : Int(count)
    }
}

/// Calls a function that answers with JSON, and returns what that says.
func decoded<Value: Decodable>(_ function: (Message) -> UnsafeMutablePointer<CChar>?) throws -> Value {
    let answer = try callNative(function)
    defer { minnow_free(answer) }
    return try JSONDecoder().decode(Value.self, from: Data(bytes: answer, count: strlen(answer)))
}

/// Returns a value as JSON.
func encoded(_ value: some Encodable) throws -> String {
    String(decoding: try JSONEncoder().encode(value), as: UTF8.self)
}

/// Calls a function with the texts as minnow.h takes them; they live as long as the call.
func withViews<Result>(of texts: [String], _ call: ([minnow_text]) throws -> Result) rethrows -> Result {
    let bytes = texts.flatMap { $0.utf8.map { CChar(bitPattern: $0) } }
    return try bytes.withUnsafeBufferPointer { buffer in
        var start = 0
        return try call(
            texts.map { text in
                defer { start += text.utf8.count }
                return minnow_text(bytes: buffer.baseAddress.map { $0 + start }, size: text.utf8.count)
            })
    }
}

/// Returns the texts that minnow.h gives.
func texts(_ views: UnsafePointer<minnow_text>?, _ count: Int) -> [String] {
    UnsafeBufferPointer(start: views, count: count).map(text)
}

func text(_ view: minnow_text) -> String {
    String(decoding: UnsafeRawBufferPointer(start: view.bytes, count: view.size), as: UTF8.self)
}

/// Returns a stream of what a function reports, which runs in a task of its own until the stream is dropped.
func progress(_ work: @escaping @Sendable (@Sendable (StepProgress) -> Void) async throws -> Void)
    -> AsyncThrowingStream<StepProgress, any Error>
{
    AsyncThrowingStream { stream in
        let task = Task {
            do {
                try await work { stream.yield($0) }
                stream.finish()
            } catch {
                stream.finish(throwing: error)
            }
        }
        stream.onTermination = { _ in task.cancel() }
    }
}

/// Works on some of many at a time, reports how many are done, and stops where the task is cancelled.
func inSteps<Element: Sendable>(
    _ all: [Element], of step: Int, _ report: @Sendable (StepProgress) -> Void, _ work: ([Element]) async throws -> Void
) async throws {
    for start in stride(from: 0, to: all.count, by: step) {
        try Task.checkCancellation()
        let end = min(start + step, all.count)
        try await work(Array(all[start..<end]))
        report(StepProgress(done: end, total: all.count))
    }
}
