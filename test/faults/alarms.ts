/** What raises a resource alarm of the broker, and what ends it: meanwhile it reads from no connection that publishes. */
export const ALARMS = {
  memory: {
    raise: ["set_vm_memory_high_watermark", "absolute", "1"],
    clear: ["set_vm_memory_high_watermark", "0.4"],
  },
  disk: {
    raise: ["set_disk_free_limit", "mem_relative", "10000"],
    clear: ["set_disk_free_limit", "50MB"],
  },
} as const;
