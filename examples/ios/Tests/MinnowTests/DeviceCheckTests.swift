import Minnow
import XCTest

/// Runs the folder of `minnow device-check` that the variable DEVICE_CHECK names; on a device, the one called phone in the test's
/// bundle. docs/devices.md says how.
final class DeviceCheckTests: XCTestCase {
    func testWritesTheAnswersOfThisDevice() async throws {
        let variable = ProcessInfo.processInfo.environment["DEVICE_CHECK"].map { URL(fileURLWithPath: $0) }
        let bundled = Bundle(for: Self.self).url(forResource: "phone", withExtension: nil)
        let folder = try XCTUnwrap(variable ?? bundled, "Set DEVICE_CHECK, or add the folder to the test's resources.")
        let own = FileManager.default.temporaryDirectory.appendingPathComponent("device-check")
        try? FileManager.default.removeItem(at: own)
        try FileManager.default.copyItem(at: folder, to: own)
        var options = Options()
        options.precision = .low
        try await deviceCheck(own, options: options)
        for name in ["answer.json", "answer.f32"] {
            let answer = own.appendingPathComponent(name)
            if variable != nil {
                try? FileManager.default.removeItem(at: folder.appendingPathComponent(name))
                try FileManager.default.copyItem(at: answer, to: folder.appendingPathComponent(name))
            }
            #if canImport(ObjectiveC)
                let file = XCTAttachment(contentsOfFile: answer)
                file.lifetime = .keepAlways
                add(file)
            #endif
        }
    }
}
