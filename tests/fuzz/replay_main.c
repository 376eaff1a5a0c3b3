/* SPDX-License-Identifier: Apache-2.0 */
/* Replays seeds and past crashes through a fuzz target with a plain main, so that any compiler can. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return -1;
    static uint8_t bytes[1u << 20];
    size_t len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    /* An exact heap copy, so that a sanitizer sees a read behind the end. */
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    if (copy == NULL)
        return -1;
    memcpy(copy, bytes, len);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS_DIR\n", argv[0]);
        return 64;
    }
    DIR *dir = opendir(argv[1]);
    if (dir == NULL) {
        perror(argv[1]);
        return 1;
    }
    unsigned replayed = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] == '.')
            continue;
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        if (replay_file(path) != 0) {
            perror(path);
            closedir(dir);
            return 1;
        }
        replayed++;
    }
    closedir(dir);
    printf("%u seeds replayed\n", replayed);
    return replayed == 0 ? 1 : 0; /* an empty corpus shows nothing */
}
