import CMinnow
import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

private struct Manifest: Decodable {
    struct File: Decodable {
        let size: Int
        let sha256: String
    }
    let files: [String: File]
}

/// Downloads a bundle from a server that has its folder, and yields how many bytes there are after each file.
///
/// Every file is compared with its hash. The folder appears when all are there; what a stopped download has is kept in FOLDER.part
/// for the next one. Nothing is downloaded where the folder is that bundle already. `sha256` is that of its minnow.json, in
/// hexadecimal digits, which the app was built with.
public func downloadBundle(from address: URL, sha256: String, to folder: URL) -> AsyncThrowingStream<StepProgress, any Error> {
    progress { report in
        let manifest = "minnow.json"
        if hash(of: folder.appendingPathComponent(manifest)) == sha256 { return }
        let staged = URL(fileURLWithPath: folder.path + ".part")
        try await fetch(manifest, from: address, to: staged, sha256: sha256)
        let stated = try Data(contentsOf: staged.appendingPathComponent(manifest))
        let files = try JSONDecoder().decode(Manifest.self, from: stated).files
        let total = files.values.reduce(0) { $0 + $1.size }
        var done = 0
        for (name, file) in files.sorted(by: { $0.key < $1.key }) {
            try Task.checkCancellation()
            if name.hasPrefix("/") || name.split(separator: "/").contains("..") {
                throw MinnowError(message: "\(address) has a file called \(name).")
            }
            if hash(of: staged.appendingPathComponent(name)) != file.sha256 {
                try await fetch(name, from: address, to: staged, sha256: file.sha256)
            }
            done += file.size
            report(StepProgress(done: done, total: total))
        }
        try? FileManager.default.removeItem(at: folder)
        try FileManager.default.moveItem(at: staged, to: folder)
    }
}

private func fetch(_ name: String, from address: URL, to folder: URL, sha256: String) async throws {
    let target = folder.appendingPathComponent(name)
    let (found, response) = try await URLSession.shared.download(from: address.appendingPathComponent(name))
    defer { try? FileManager.default.removeItem(at: found) }
    if let answer = response as? HTTPURLResponse, answer.statusCode != 200 {
        throw MinnowError(message: "\(address) has no \(name): status \(answer.statusCode).")
    }
    guard hash(of: found) == sha256 else {
        throw MinnowError(message: "\(name) of \(address) is not the file that was expected: its SHA-256 differs.")
    }
    try FileManager.default.createDirectory(at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
    try? FileManager.default.removeItem(at: target)
    try FileManager.default.moveItem(at: found, to: target)
}

/// Returns the SHA-256 of a file in hexadecimal digits, nil where it cannot be read.
private func hash(of file: URL) -> String? {
    var digits = [CChar](repeating: 0, count: 65)
    guard (try? checkNative { minnow_sha256(file.path, &digits, $0.0, $0.1) }) != nil else { return nil }
    return String(decoding: digits.prefix(64).map(UInt8.init(bitPattern:)), as: UTF8.self)
}
