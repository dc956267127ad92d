/* Search in an index and in memories, in plain C: search BUNDLE INDEX MEMORY QUESTION
 *
 * docs/phone.md builds it. Every app does the same in its own language. */
#include <stdio.h>
#include <string.h>

#include "minnow.h"

int main(int count, char** arguments) {
    char error[1000] = "";
    if (count != 5) return fprintf(stderr, "search BUNDLE INDEX MEMORY QUESTION\n"), 2;
    minnow_text question = {arguments[4], strlen(arguments[4])};
    minnow_embedder* embedder = minnow_open(arguments[1], NULL, error, sizeof error);
    minnow_index* index = embedder ? minnow_open_index(arguments[2], embedder, error, sizeof error) : NULL;
    minnow_memory* memory = index ? minnow_open_memory(arguments[3], embedder, NULL, error, sizeof error) : NULL;
    char *hits = NULL, *kept = NULL, *found = NULL;
    if (memory) hits = minnow_search(index, question, 3, NULL, NULL, 0, error, sizeof error);
    if (hits) kept = minnow_remember(memory, "[{\"text\": \"Emma is allergic to peanuts.\", \"importance\": 0.9}]", error, sizeof error);
    if (kept) found = minnow_recall(memory, question, 3, NULL, error, sizeof error);
    if (found) printf("%s\n%s\n", hits, found);
    else fprintf(stderr, "%s\n", error);
    minnow_free(hits);
    minnow_free(kept);
    minnow_free(found);
    minnow_close_memory(memory);
    minnow_close_index(index);
    minnow_close(embedder);
    return found ? 0 : 1;
}
