// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "Minnow",
    platforms: [.iOS(.v15)],
    products: [.library(name: "Minnow", targets: ["Minnow"])],
    targets: [
        // MNN, built as the README says, beside this file.
        .binaryTarget(name: "MNN", path: "MNN.xcframework"),
        // Links to the core, native/; Swift sees only its C functions.
        .target(
            name: "CMinnow",
            dependencies: ["MNN"],
            exclude: ["src/character_tables.inc", "src/unicode_tables.inc"],
            cxxSettings: [.define("MINNOW_HAS_MNN")],
            linkerSettings: [
                .linkedFramework("Metal"), .linkedFramework("CoreML"), .linkedFramework("Foundation"),
            ]
        ),
        .target(name: "Minnow", dependencies: ["CMinnow"]),
    ],
    cxxLanguageStandard: .cxx17
)
