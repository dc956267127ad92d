// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "Minnow",
    platforms: [.iOS(.v15)],
    products: [.library(name: "Minnow", targets: ["Minnow"])],
    targets: [
        // MNN, built as the README says, beside this file.
        .binaryTarget(name: "MNN", path: "MNN.xcframework"),
        // Links to the core, native/, and SQLite's amalgamation in sqlite/; Swift sees only the C functions of minnow.h.
        .target(
            name: "CMinnow",
            dependencies: ["MNN"],
            exclude: [
                "src/character_tables.inc", "src/expressions.inc", "src/schema.inc", "src/unicode_tables.inc",
                "src/word_tables.inc",
            ],
            cSettings: [.define("SQLITE_ENABLE_FTS5"), .define("SQLITE_THREADSAFE", to: "2")],
            cxxSettings: [.define("MINNOW_HAS_MNN"), .headerSearchPath("sqlite")],
            linkerSettings: [
                .linkedFramework("Metal"), .linkedFramework("CoreML"), .linkedFramework("Foundation"),
            ]
        ),
        .target(name: "Minnow", dependencies: ["CMinnow"]),
        .testTarget(name: "MinnowTests", dependencies: ["Minnow"]),
    ],
    cxxLanguageStandard: .cxx17
)
