/** Lets a bounded number of promises run beside the caller, who waits only when the bound is reached. */
export interface Lanes {
  /** Resolves when there is room for one more. */
  room(): Promise<void>;
  add(work: Promise<void>): void;
  /** Resolves when everything that was added has settled. */
  idle(): Promise<void>;
}

export function createLanes(bound: number): Lanes {
  const running = new Set<Promise<void>>();
  return {
    async room() {
      while (running.size >= bound) await Promise.race(running);
    },
    add(work) {
      const done = work
        .catch(() => {})
        .then(() => {
          running.delete(done);
        });
      running.add(done);
    },
    async idle() {
      while (running.size > 0) await Promise.all(running);
    },
  };
}
