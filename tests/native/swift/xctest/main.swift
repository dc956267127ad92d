import XCTest

// Runs the test of the package on Linux, where nothing finds it by itself.
XCTMain([testCase([("testWritesTheAnswersOfThisDevice", asyncTest(DeviceCheckTests.testWritesTheAnswersOfThisDevice))])])
