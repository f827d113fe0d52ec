/** Resolves when one of the signals aborts. Leaves no listener behind on the others, which may live much longer. */
export function untilAborted(...signals: readonly AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      for (const signal of signals) signal.removeEventListener("abort", settle);
      resolve();
    };
    if (signals.some((signal) => signal.aborted)) resolve();
    else for (const signal of signals) signal.addEventListener("abort", settle);
  });
}
