package dev.minnow;

/** The functions of minnow_jni.cpp. Texts are UTF-8, because JNI's own strings use another encoding. */
final class Native {
    static {
        System.loadLibrary("minnow_jni");
    }

    private Native() {}

    /** A function of an app: vectors of texts, concatenated, or a score for each text as an answer to the query. */
    interface Function {
        float[] call(byte[] query, byte[][] texts, int role);
    }

    /** Keeps a function for the library, until it is released. */
    static native long keep(Function function);

    static native void release(long function);

    /** Options in the order of minnow_options in minnow.h. */
    static native long open(byte[] folder, int[] options);

    /** The record is the path of a file; backend, precision, memory and fixed shapes are 0. */
    static native long openBest(byte[] folder, byte[] record, int[] options);

    /** Makes an embedder of an app's own; the model is JSON. */
    static native long wrap(long function, byte[] model);

    static native boolean isProven(byte[] folder, int[] options);

    static native void deviceCheck(byte[] folder, int[] options, byte[] runner);

    static native int width(long embedder);

    /** Returns the rows of width() numbers, concatenated. */
    static native float[] encode(long embedder, byte[][] texts, int role);

    static native void close(long embedder);

    /** Options as for open. */
    static native long openReranker(byte[] folder, int[] options);

    /** As openBest. */
    static native long openBestReranker(byte[] folder, byte[] record, int[] options);

    /** Makes a reranker of an app's own. */
    static native long wrapReranker(long function);

    /** Returns the name of each score of a pair. */
    static native byte[][] labels(long reranker);

    /** Returns a row of scores per pair, concatenated; queries and documents are of one length. */
    static native float[] predict(long reranker, byte[][] queries, byte[][] documents);

    /** Returns the numbers of the best documents, as many as `scores` takes, and fills in their scores. */
    static native int[] rank(long reranker, byte[] query, byte[][] documents, float[] scores);

    static native void closeReranker(long reranker);

    /** The embedder may be 0, unless the file is to be made. */
    static native long openIndex(byte[] file, long embedder, boolean create);

    static native long count(long index);

    /** Options and answer are JSON, as minnow.h has them; the reranker may be 0, and the vector null. */
    static native byte[] search(long index, long reranker, byte[] query, int k, byte[] options, float[] vector);

    /** The records are JSON. */
    static native long put(long index, byte[] collection, byte[] records);

    /** The ids are JSON, or null for all. */
    static native long remove(long index, byte[] collection, byte[] ids);

    static native void closeIndex(long index);

    /** The embedder may be 0. */
    static native long openMemory(byte[] file, long embedder, byte[] options);

    static native byte[] remember(long memory, byte[] observations);

    static native byte[] recall(long memory, long reranker, byte[] query, int k, byte[] options);

    static native byte[] items(long memory, byte[] options);

    static native byte[] forget(long memory, long[] ids);

    static native void closeMemory(long memory);

    /** Takes a piece of an answer; returns whether to go on. */
    interface Taker {
        boolean take(byte[] piece);
    }

    static native long openLlm(byte[] folder, int threads);

    /** The passages are JSON, as hits are. */
    static native void answer(long llm, byte[] question, byte[] passages, int maxTokens, Taker taker);

    static native void closeLlm(long llm);
}
