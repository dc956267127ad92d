package dev.minnow;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;

/** Prints the vector of each line, which is Base64 of UTF-8; or why there is none. */
final class Check {
    public static void main(String[] arguments) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in)).lines();
        byte[][] texts = lines.map(Base64.getDecoder()::decode).toArray(byte[][]::new);
        try {
            byte[] folder = arguments[0].getBytes(StandardCharsets.UTF_8);
            int[] options = Arrays.stream(arguments).skip(2).mapToInt(Integer::parseInt).toArray();
            long embedder = Native.open(folder, options);
            int width = Native.width(embedder);
            float[] rows = Native.encode(embedder, texts, Integer.parseInt(arguments[1]));
            for (int start = 0; start < rows.length; start += width) {
                System.err.println(Arrays.toString(Arrays.copyOfRange(rows, start, start + width)));
            }
            Native.close(embedder);
        } catch (MinnowException error) {
            System.err.println("refused: " + error.getMessage());
        }
    }
}
