import CMinnow
import Foundation

/// Runs a folder that `minnow device-check` wrote, and writes answer.json and answer.f32 into it, which
/// `minnow device-check --read` judges on a desktop.
public func deviceCheck(_ folder: URL, options: Options = Options()) async throws {
    var given = options.given
    try checkNative { minnow_device_check(folder.path, &given, "Swift", $0.0, $0.1) }
}
