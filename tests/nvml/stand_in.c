/* A stand-in for NVIDIA's management library. STAND_IN says what it plays; every nvmlInit_v2
 * adds a line to the file STAND_IN_LOG. Built without a symbol: -DWITHOUT_INIT,
 * -DWITHOUT_MEMORY_V2, -DWITHOUT_SLICES. Only what the tests ask for is here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, DRIVER_NOT_LOADED = 9,
       GPU_IS_LOST = 15 };

struct device { const char *name, *uuid; unsigned long long memory; int cut; };

#define GIB (1ULL << 30)
static struct device T4 = {"Tesla T4", "GPU-ffff", 15 * GIB, 0};
static struct device H100[8] = {
    {"NVIDIA H100 80GB HBM3", "GPU-a0", 80 * GIB, 0}, {"NVIDIA H100 80GB HBM3", "GPU-a1", 80 * GIB, 0},
    {"NVIDIA H100 80GB HBM3", "GPU-a2", 80 * GIB, 0}, {"NVIDIA H100 80GB HBM3", "GPU-a3", 80 * GIB, 0},
    {"NVIDIA H100 80GB HBM3", "GPU-b0", 80 * GIB, 0}, {"NVIDIA H100 80GB HBM3", "GPU-b1", 80 * GIB, 0},
    {"NVIDIA H100 80GB HBM3", "GPU-b2", 80 * GIB, 0}, {"NVIDIA H100 80GB HBM3", "GPU-b3", 80 * GIB, 0}};
static struct device CUT = {"NVIDIA H100 80GB HBM3", "GPU-cc", 80 * GIB, 1};
static struct device SLICE[2] = {{"NVIDIA H100 80GB HBM3 MIG 1g.10gb", "MIG-c0", 10 * GIB, 0},
                                 {"NVIDIA H100 80GB HBM3 MIG 3g.40gb", "MIG-c1", 40 * GIB, 0}};

static int plays(const char *what) {
    const char *play = getenv("STAND_IN");
    return play && strcmp(play, what) == 0;
}

static void hang(void) {
    for (;;) pause();
}

static unsigned devices(struct device **list) {
    list[0] = plays("mixed") ? &T4 : plays("mig") || plays("mig_one") ? &CUT : &H100[0];
    for (int i = 1; i < 8; i++) list[i] = &H100[i];
    return plays("none") ? 0 : plays("eight") || plays("lost") ? 8 : plays("mixed") ? 2 : 1;
}

static unsigned slices(void) { return plays("mig") ? 2 : plays("mig_one") ? 1 : 0; }

#ifndef WITHOUT_INIT
int nvmlInit_v2(void) {
    const char *log = getenv("STAND_IN_LOG");
    FILE *file = log ? fopen(log, "a") : NULL;
    if (file) {
        fputs("init\n", file);
        fclose(file);
    }
    if (plays("hang_init")) hang();
    return plays("not_loaded") ? DRIVER_NOT_LOADED : SUCCESS;
}
#endif

int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int code) {
    (void)code;
    return "a stand-in's error";
}

int nvmlSystemGetDriverVersion(char *version, unsigned length) {
    snprintf(version, length, "570.124.06");
    return SUCCESS;
}

int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    *version = 12080;
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    struct device *list[8];
    *count = devices(list);
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct device **device) {
    struct device *list[8];
    if (index >= devices(list)) return INVALID_ARGUMENT;
    *device = list[index];
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, struct device **device) {
    for (unsigned i = 0; i < slices(); i++)
        if (strcmp(SLICE[i].uuid, uuid) == 0) {
            *device = &SLICE[i];
            return SUCCESS;
        }
    return NOT_FOUND;
}

int nvmlDeviceGetName(struct device *device, char *name, unsigned length) {
    if (plays("lost") && device == &H100[7]) return GPU_IS_LOST;
    snprintf(name, length, "%s", device->name);
    return SUCCESS;
}

int nvmlDeviceGetUUID(struct device *device, char *uuid, unsigned length) {
    snprintf(uuid, length, "%s", device->uuid);
    return SUCCESS;
}

#ifndef WITHOUT_MEMORY_V2
struct memory { unsigned version; unsigned long long total, reserved, free, used; };

int nvmlDeviceGetMemoryInfo_v2(struct device *device, struct memory *memory) {
    if (plays("hang_memory")) hang();
    if (plays("unified")) return NOT_SUPPORTED;
    memory->total = device->memory;
    return SUCCESS;
}
#endif

int nvmlDeviceGetMigMode(struct device *device, unsigned *current, unsigned *pending) {
    if (device == &T4) return NOT_SUPPORTED;
    *current = *pending = device->cut;
    return SUCCESS;
}

#ifndef WITHOUT_SLICES
int nvmlDeviceGetMaxMigDeviceCount(struct device *device, unsigned *count) {
    *count = device->cut ? 7 : 0;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(struct device *device, unsigned index, struct device **slice) {
    /* The first place is empty, as it is when a slice was taken away. */
    if (!device->cut || index == 0 || index > slices()) return NOT_FOUND;
    *slice = &SLICE[index - 1];
    return SUCCESS;
}
#endif
