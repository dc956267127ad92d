// Stands in for the parts of SwiftUI that the sample uses; it is only compiled.
@_exported import Foundation

@MainActor public protocol View {
    associatedtype Body: View
    @ViewBuilder var body: Body { get }
}

public struct AnyPart: View {
    nonisolated init() {}
    public var body: AnyPart { self }
}

@resultBuilder @MainActor public enum ViewBuilder {
    public static func buildBlock<each Part: View>(_ parts: repeat each Part) -> AnyPart { AnyPart() }
    public static func buildExpression<Part: View>(_ part: Part) -> Part { part }
    public static func buildOptional(_ part: AnyPart?) -> AnyPart { AnyPart() }
    public static func buildEither(first: AnyPart) -> AnyPart { first }
    public static func buildEither(second: AnyPart) -> AnyPart { second }
}

@MainActor public protocol Scene {}

@MainActor public protocol App {
    associatedtype Body: Scene
    var body: Body { get }
    init()
}

extension App {
    public static func main() {}
}

public struct WindowGroup: Scene {
    public init(@ViewBuilder content: () -> AnyPart) {}
}

// --- state ---

public protocol ObservableObject: AnyObject {}

@propertyWrapper public struct Published<Value> {
    public var wrappedValue: Value
    public init(wrappedValue: Value) { self.wrappedValue = wrappedValue }
}

@propertyWrapper @MainActor public struct StateObject<Value: ObservableObject> {
    public let wrappedValue: Value
    public init(wrappedValue: @autoclosure () -> Value) { self.wrappedValue = wrappedValue() }
}

@propertyWrapper @MainActor public struct EnvironmentObject<Value: ObservableObject> {
    public var wrappedValue: Value { fatalError() }
    public init() {}
}

@propertyWrapper @MainActor public struct State<Value> {
    public var wrappedValue: Value {
        get { fatalError() }
        nonmutating set {}
    }
    public var projectedValue: StateBinding<Value> { StateBinding() }
    public init(wrappedValue: Value) {}
}

@dynamicMemberLookup public struct StateBinding<Value> {
    public subscript<Part>(dynamicMember path: WritableKeyPath<Value, Part>) -> StateBinding<Part> { StateBinding<Part>() }
}

public struct EnvironmentValues {
    public struct Dismiss {
        public func callAsFunction() {}
    }
    public var dismiss: Dismiss { Dismiss() }
}

@propertyWrapper public struct Environment<Value> {
    public var wrappedValue: Value { fatalError() }
    public init(_ path: KeyPath<EnvironmentValues, Value>) {}
}

// --- views ---

public enum Edges { case horizontal, vertical, all }
public enum FieldStyle { case roundedBorder }
public enum Font { case headline }
public enum HorizontalAlignment { case leading, center }
public enum ButtonRole { case destructive }

extension View {
    public func padding(_ edges: Edges = .all) -> AnyPart { AnyPart() }
    public func textFieldStyle(_ style: FieldStyle) -> AnyPart { AnyPart() }
    public func font(_ font: Font) -> AnyPart { AnyPart() }
    public func disabled(_ disabled: Bool) -> AnyPart { AnyPart() }
    public func environmentObject(_ object: some ObservableObject) -> AnyPart { AnyPart() }
    public func navigationTitle(_ title: String) -> AnyPart { AnyPart() }
    public func toolbar(@ViewBuilder content: () -> AnyPart) -> AnyPart { AnyPart() }
    public func task(id: some Equatable, _ action: @escaping @Sendable @MainActor () async -> Void) -> AnyPart { AnyPart() }
}

@MainActor public func VStack(alignment: HorizontalAlignment = .center, @ViewBuilder content: () -> AnyPart) -> AnyPart { AnyPart() }
@MainActor public func HStack(@ViewBuilder content: () -> AnyPart) -> AnyPart { AnyPart() }
@MainActor public func List(@ViewBuilder content: () -> AnyPart) -> AnyPart { AnyPart() }
@MainActor public func NavigationView(@ViewBuilder content: () -> AnyPart) -> AnyPart { AnyPart() }
@MainActor public func Text(_ text: String) -> AnyPart { AnyPart() }
@MainActor public func TextField(_ title: String, text: StateBinding<String>) -> AnyPart { AnyPart() }
@MainActor public func TextEditor(text: StateBinding<String>) -> AnyPart { AnyPart() }
@MainActor public func NavigationLink(_ title: String, @ViewBuilder destination: () -> AnyPart) -> AnyPart { AnyPart() }
@MainActor public func Button(_ title: String, role: ButtonRole? = nil, action: @escaping @MainActor () -> Void) -> AnyPart { AnyPart() }
@MainActor public func ForEach<Item: Identifiable>(_ items: [Item], @ViewBuilder content: (Item) -> AnyPart) -> AnyPart { AnyPart() }
@MainActor public func ForEach<Item>(_ items: [Item], id: KeyPath<Item, some Hashable>, @ViewBuilder content: (Item) -> AnyPart) -> AnyPart {
    AnyPart()
}
