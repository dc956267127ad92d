package dev.minnow;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;

/** Ranks the lines behind the first, each Base64 of UTF-8, by the first; or prints why it cannot. */
final class CheckReranker {
    public static void main(String[] arguments) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in)).lines();
        byte[][] texts = lines.map(Base64.getDecoder()::decode).toArray(byte[][]::new);
        byte[][] documents = Arrays.copyOfRange(texts, 1, texts.length);
        byte[][] queries = new byte[documents.length][];
        Arrays.fill(queries, texts[0]);
        try {
            byte[] folder = arguments[0].getBytes(StandardCharsets.UTF_8);
            long reranker = Native.openReranker(folder, new int[] {0, 2, 0, 0, 0, 0});
            System.err.println(new String(Native.labels(reranker)[0], StandardCharsets.UTF_8));
            System.err.println(Arrays.toString(Native.predict(reranker, queries, documents)));
            for (int top : new int[] {documents.length, 2, 0}) {
                float[] scores = new float[top];
                System.err.println(Arrays.toString(Native.rank(reranker, texts[0], documents, scores)));
                System.err.println(Arrays.toString(scores));
            }
            System.err.println(Native.predict(reranker, new byte[0][], new byte[0][]).length);
            Native.closeReranker(reranker);
            Native.predict(Native.openReranker(folder, new int[] {0, 2, 0, 0, 0, 0}), queries, new byte[0][]);
        } catch (MinnowException error) {
            System.err.println("refused: " + error.getMessage());
        }
    }
}
