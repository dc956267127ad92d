import CMinnow
import Foundation

/// A language model for MNN's engine, which answers questions from passages.
///
/// It takes more memory than all else: let it go soon.
public actor Llm {
    private let handle: Handle

    private init(_ handle: Handle) {
        self.handle = handle
    }

    /// Opens a folder with config.json and llm.mnn.
    public static func open(_ folder: URL, threads: Int32 = 2) async throws -> Llm {
        Llm(Handle(try callNative { minnow_open_llm(folder.path, threads, $0.0, $0.1) }, close: minnow_close_llm))
    }

    /// Answers a question from the texts of hits, and from memories, and yields pieces of the answer.
    ///
    /// It cites hits by their numbers, as in [1], and memories by those that follow. Who drops the stream stops the model.
    public nonisolated func answer(_ question: String, hits: [Hit], memories: [Recalled] = [], maxTokens: Int = 300)
        -> AsyncThrowingStream<String, any Error>
    {
        let passages = hits.map { Passage(source: $0.source, text: $0.text) } + memories.map { Passage(source: nil, text: $0.item.text) }
        return AsyncThrowingStream { stream in
            let task = Task {
                do {
                    try await self.write(question, try encoded(passages), Int32(maxTokens)) { piece in
                        if case .terminated = stream.yield(piece) { return false }
                        return !Task.isCancelled
                    }
                    stream.finish()
                } catch {
                    stream.finish(throwing: error)
                }
            }
            stream.onTermination = { _ in task.cancel() }
        }
    }

    private func write(_ question: String, _ passages: String, _ maxTokens: Int32, _ take: @escaping (String) -> Bool) throws {
        let taker = Taker(take)
        let pointer = handle.pointer
        try withExtendedLifetime(taker) {
            let context = Unmanaged.passUnretained(taker).toOpaque()
            try withViews(of: [question]) { views in
                let asked = views[0]
                try checkNative { message in
                    minnow_answer(
                        pointer, asked, passages, maxTokens,
                        { Unmanaged<Taker>.fromOpaque($0!).takeUnretainedValue().take(text($1)) ? 0 : 1 },
                        context, message.0, message.1)
                }
            }
        }
    }
}

private struct Passage: Encodable {
    let source: String?
    let text: String
}

/// What minnow.h calls with the pieces of an answer.
private final class Taker {
    let take: (String) -> Bool

    init(_ take: @escaping (String) -> Bool) {
        self.take = take
    }
}
