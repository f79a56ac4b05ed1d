/* A resolver whose name server never answers: getaddrinfo() notes the call in the file that NEVER_RESOLVES names,
 * and does not return. A process loads it by LD_PRELOAD, so that a test needs neither root nor a name server. */

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    const char *path = getenv("NEVER_RESOLVES");
    FILE *note = path ? fopen(path, "a") : NULL;
    (void)service, (void)hints, (void)found;
    if (note) {
        fprintf(note, "%s\n", node ? node : "");
        fclose(note);
    }
    for (;;)
        pause();
}
