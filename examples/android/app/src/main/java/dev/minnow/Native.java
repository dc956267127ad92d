package dev.minnow;

/** The functions of minnow_jni.cpp. Texts are UTF-8, because JNI's own strings use another encoding. */
final class Native {
    static {
        System.loadLibrary("minnow_jni");
    }

    private Native() {}

    /** Options in the order of minnow_options in minnow.h. */
    static native long open(byte[] folder, int[] options);

    static native int width(long embedder);

    /** Returns the rows of width() numbers, concatenated. */
    static native float[] encode(long embedder, byte[][] texts, int role);

    static native void close(long embedder);
}
