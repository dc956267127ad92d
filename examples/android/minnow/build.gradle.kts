// The library: Kotlin, its bridge and minnow-core. `./gradlew :minnow:assembleRelease` makes the AAR.
plugins {
    id("com.android.library")
    id("org.jetbrains.kotlin.android")
}

// MNN for arm64-v8a, in a form that native/cmake/FindMNN.cmake takes: -PmnnRoot=/path, or mnnRoot in gradle.properties. Without
// it the project syncs and builds all but the embedder.
val mnnRoot = providers.gradleProperty("mnnRoot").orElse("")
val mnnInclude = providers.gradleProperty("mnnInclude").orElse("")

android {
    namespace = "dev.minnow"
    compileSdk = 35
    ndkVersion = "28.0.13004108" // r28 and later: pages of 16 KB

    defaultConfig {
        minSdk = 24
        ndk { abiFilters += "arm64-v8a" }
        externalNativeBuild {
            cmake {
                arguments += listOf(
                    "-DANDROID_STL=c++_shared", "-DMNN_ROOT=${mnnRoot.get()}", "-DMNN_INCLUDE=${mnnInclude.get()}"
                )
                targets += "minnow_jni"
            }
        }
        consumerProguardFiles("consumer-rules.pro")
        testInstrumentationRunner = "androidx.test.runner.AndroidJUnitRunner"
    }
    externalNativeBuild { cmake { path = file("src/main/cpp/CMakeLists.txt") } }
    sourceSets["main"].jniLibs.srcDir(layout.buildDirectory.dir("mnn"))
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    kotlinOptions { jvmTarget = "17" }
}

dependencies {
    api("org.jetbrains.kotlinx:kotlinx-coroutines-android:1.9.0")
    androidTestImplementation("androidx.test:runner:1.6.2")
    androidTestImplementation("androidx.test.ext:junit:1.2.1")
}

val copyMnn by tasks.registering(Copy::class) {
    onlyIf { mnnRoot.get().isNotEmpty() }
    from(mnnRoot.map { listOf("$it/lib", "$it/arm64-v8a") }) { include("libMNN*.so", "libllm.so") }
    into(layout.buildDirectory.dir("mnn/arm64-v8a"))
}
tasks.named("preBuild") { dependsOn(copyMnn) }
