package dev.minnow;

import java.nio.charset.StandardCharsets;

/** An error of minnow; the message names the file and the fault. */
public final class MinnowException extends RuntimeException {
    MinnowException(byte[] message) {
        super(new String(message, StandardCharsets.UTF_8));
    }
}
