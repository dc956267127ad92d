/* minnow.h as a C program sees it: prints the vectors of two texts, one of which holds a NUL,
 * and their scores. */
#include <minnow.h>
#include <stdio.h>
#include <stdlib.h>

int main(int count, char** given) {
    char error[200] = "", little[5] = "";
    minnow_options options = {0};
    minnow_text texts[2] = {{"fish\0 rest", 10}, {"how do fish sleep?", 18}};
    if (count != 3) return 2;
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
    if (minnow_open_reranker(given[1], NULL, error, sizeof error)) return 3;
    fprintf(stderr, "%s\n", error);
    if (minnow_open(given[2], NULL, error, sizeof error)) return 3;
    fprintf(stderr, "%s\n", error);
    minnow_reranker* reranker = minnow_open_reranker(given[2], NULL, error, sizeof error);
    if (!reranker) return fprintf(stderr, "%s\n", error), 1;
    if (minnow_labels(reranker) != 1 || !minnow_label(reranker, 0) || minnow_label(reranker, 1)) return 3;
    minnow_pair pair = {texts[1], texts[0]};
    float score = 0;
    if (!minnow_predict(reranker, NULL, 1, &score, error, sizeof error)) return 3;
    if (minnow_predict(reranker, &pair, 1, &score, error, sizeof error)) return 1;
    fprintf(stderr, "%.9g\n", score);
    minnow_ranked ranked[2];
    if (minnow_rank(reranker, texts[1], NULL, 0, 5, NULL, error, sizeof error)) return 1;
    if (minnow_rank(reranker, texts[1], texts, 2, 5, ranked, error, sizeof error)) return 1;
    for (int i = 0; i < 2; ++i) fprintf(stderr, "%zu %.9g\n", ranked[i].index, ranked[i].score);
    minnow_close_reranker(reranker);
    minnow_close_reranker(NULL);
    minnow_close(embedder);
    minnow_close(NULL);
    return 0;
}
