/* A stand-in for NVIDIA's libnvidia-ml.so.1: it exports the functions that Kwapi calls, under the declarations of nvml.h, and
 * answers from a text file (STATE) that a test writes:
 *
 *   init CODE                                            what nvmlInit_v2 returns
 *   gpu UUID SERIAL BUS ENERGY POWER CODE                SERIAL "-" and ENERGY, POWER -1: not supported; CODE of all its calls
 *
 * Each nvmlInit_v2 and nvmlShutdown adds a letter to STATE.log. With OLD it lacks nvmlDeviceGetFieldValues, as before driver
 * 415, and with it GetPowerUsage returns the mean: 1 W more. */
#include <stdio.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7 };

struct gpu { char uuid[64], serial[32]; unsigned bus; long long energy, power; int code; };

static int state(int index, struct gpu *gpu, int *init) {
  int count = 0;
  char line[256];
  FILE *file = fopen(STATE, "r");
  *init = 0;
  if (!file) return 0;
  while (fgets(line, sizeof line, file)) {
    struct gpu now;
    memset(&now, 0, sizeof now);
    if (sscanf(line, "init %d", init) == 1) continue;
    if (sscanf(line, "gpu %63s %31s %x %lld %lld %d", now.uuid, now.serial, &now.bus, &now.energy, &now.power, &now.code) == 6) {
      if (count == index) *gpu = now;
      count++;
    }
  }
  fclose(file);
  return count;
}

static void note(const char *letter) {
  FILE *file = fopen(STATE ".log", "a");
  if (file) { fputs(letter, file); fclose(file); }
}

/* A handle is the number of a GPU, from 1. */
static int find(void *device, struct gpu *gpu) {
  int init, index = (int)(long)device - 1;
  if (index < 0 || index >= state(index, gpu, &init)) return INVALID_ARGUMENT;
  return gpu->code;
}

static int put(const char *text, char *buffer, unsigned length) {
  if (strlen(text) >= length) return INSUFFICIENT_SIZE;
  strcpy(buffer, text);
  return SUCCESS;
}

int nvmlInit_v2(void) { struct gpu gpu; int init; state(-1, &gpu, &init); if (!init) note("i"); return init; }
int nvmlShutdown(void) { note("s"); return SUCCESS; }
const char *nvmlErrorString(int code) {
  switch (code) {
    case 4: return "Insufficient Permissions";
    case 9: return "Driver Not Loaded";
    case 15: return "GPU is lost";
    case 18: return "Driver/library version mismatch";
    default: return "Unknown Error";
  }
}
int nvmlSystemGetDriverVersion(char *buffer, unsigned length) { return put("999.1", buffer, length); }
int nvmlDeviceGetCount_v2(unsigned *count) { struct gpu gpu; int init; *count = (unsigned)state(-1, &gpu, &init); return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
  struct gpu gpu;
  *device = (void *)(long)(index + 1);
  return find(*device, &gpu);
}
int nvmlDeviceGetUUID(void *device, char *buffer, unsigned length) {
  struct gpu gpu; int code = find(device, &gpu);
  return code ? code : put(gpu.uuid, buffer, length);
}
int nvmlDeviceGetSerial(void *device, char *buffer, unsigned length) {
  struct gpu gpu; int code = find(device, &gpu);
  if (!code && !strcmp(gpu.serial, "-")) return NOT_SUPPORTED;
  return code ? code : put(gpu.serial, buffer, length);
}
int nvmlDeviceGetName(void *device, char *buffer, unsigned length) {
  struct gpu gpu; int code = find(device, &gpu);
  return code ? code : put("NVIDIA Stand-in", buffer, length);
}
struct pci { char legacy[16]; unsigned domain, bus, device, id, subsystem; char text[32]; };
int nvmlDeviceGetPciInfo_v3(void *device, struct pci *pci) {
  struct gpu gpu; int code = find(device, &gpu);
  if (code) return code;
  memset(pci, 0, sizeof *pci);
  pci->bus = gpu.bus;
  return SUCCESS;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy) {
  struct gpu gpu; int code = find(device, &gpu);
  if (code) return code;
  if (gpu.energy < 0) return NOT_SUPPORTED;
  *energy = (unsigned long long)gpu.energy;
  return SUCCESS;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *power) {
  struct gpu gpu; int code = find(device, &gpu);
  if (code) return code;
  if (gpu.power < 0) return NOT_SUPPORTED;
  *power = (unsigned)gpu.power + 1000;
  return SUCCESS;
}
#ifndef OLD
struct field {
  unsigned id, scope;
  long long timestamp, latency;
  int type, result;
  union { double d; int si; unsigned ui; unsigned long ul; unsigned long long ull; long long sll; unsigned short us; } value;
};
int nvmlDeviceGetFieldValues(void *device, int count, struct field *fields) {
  struct gpu gpu; int code = find(device, &gpu);
  if (code) return code;
  for (int i = 0; i < count; i++) {
    fields[i].result = SUCCESS;
    if (fields[i].id == 83 && gpu.energy >= 0) { fields[i].type = 3; fields[i].value.ull = (unsigned long long)gpu.energy; }
    else if (fields[i].id == 186 && gpu.power >= 0) { fields[i].type = 1; fields[i].value.ui = (unsigned)gpu.power; }
    else fields[i].result = NOT_SUPPORTED;
  }
  return SUCCESS;
}
#endif
