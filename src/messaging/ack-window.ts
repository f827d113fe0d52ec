/** How a channel is told that deliveries are done with. */
export type SendAck = (tag: number, multiple: boolean) => void;

/**
 * Turns settled deliveries of one channel into as few acknowledgement frames as possible: one for everything up to the
 * first that is still held, and one for each settled beyond it.
 */
export class AckWindow {
  /** Every tag up to here is acknowledged. */
  #low = 0;
  /** Settled above `#low`, not yet sent. */
  readonly #settled = new Set<number>();
  /** Acknowledged one by one above `#low`. */
  readonly #sent = new Set<number>();

  settle(tag: number): void {
    this.#settled.add(tag);
  }

  /** Done with by other means (basic.reject). */
  skip(tag: number): void {
    this.#sent.add(tag);
  }

  flush(send: SendAck): void {
    // RabbitMQ closes the channel over an acknowledgement of a tag that is not outstanding, even one that means "up to".
    let last = 0;
    for (;;) {
      const next = this.#low + 1;
      if (this.#settled.delete(next)) last = next;
      else if (!this.#sent.delete(next)) break;
      this.#low = next;
    }
    if (last > 0) send(last, true);
    for (const tag of this.#settled) {
      send(tag, false);
      this.#sent.add(tag);
    }
    this.#settled.clear();
  }
}
