package dev.minnow;

import java.nio.charset.StandardCharsets;

/** What went wrong, and with which file. */
public final class MinnowException extends RuntimeException {
    MinnowException(byte[] message) {
        super(new String(message, StandardCharsets.UTF_8));
    }
}
