/* minnow.h as a C program sees it: prints the vectors of two texts, one of which holds a NUL. */
#include <minnow.h>
#include <stdio.h>
#include <stdlib.h>

int main(int count, char** given) {
    char error[200] = "", little[5] = "";
    minnow_options options = {0};
    minnow_text texts[2] = {{"fish\0 rest", 10}, {"how do fish sleep?", 18}};
    if (count != 2) return 2;
    if (minnow_open(NULL, NULL, error, sizeof error)) return 3;
    fprintf(stderr, "%s\n", error);
    options.precision = 7;
    if (minnow_open(given[1], &options, error, sizeof error)) return 3;
    fprintf(stderr, "%s\n", error);
    if (minnow_open("/nowhere", NULL, little, sizeof little)) return 3;
    fprintf(stderr, "%s\n", little);
    if (minnow_open("/nowhere", NULL, NULL, 0)) return 3;

    minnow_embedder* embedder = minnow_open(given[1], NULL, error, sizeof error);
    if (!embedder) return fprintf(stderr, "%s\n", error), 1;
    int32_t width = minnow_width(embedder);
    float* rows = malloc(2 * (size_t)width * sizeof *rows);
    if (!minnow_encode(embedder, texts, 2, 9, rows, error, sizeof error)) return 3;
    fprintf(stderr, "%s\n", error);
    if (!minnow_encode(NULL, texts, 2, MINNOW_QUERY, rows, error, sizeof error)) return 3;
    if (!minnow_encode(embedder, NULL, 2, MINNOW_QUERY, rows, NULL, 0)) return 3;
    if (minnow_encode(embedder, NULL, 0, MINNOW_NO_ROLE, NULL, NULL, 0)) return 3;
    if (minnow_encode(embedder, texts, 2, MINNOW_QUERY, rows, error, sizeof error)) return 1;
    for (int32_t i = 0; i < 2 * width; ++i) fprintf(stderr, "%.9g%c", rows[i], (i + 1) % width ? ' ' : '\n');
    free(rows);
    minnow_close(embedder);
    minnow_close(NULL);
    return 0;
}
