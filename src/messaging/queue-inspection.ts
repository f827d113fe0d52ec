import type { SupervisedConnection } from "./connection.ts";
import { openChannel } from "./declare.ts";

export interface QueueDepth {
  /** Messages that wait for a consumer. */
  readonly messages: number;
  readonly consumers: number;
}

/** Depth and consumers of queues, by name; those that cannot be asked (gone, broker away) are missing from the answer. */
export async function queueDepths(
  connection: SupervisedConnection,
  names: readonly string[],
): Promise<Map<string, QueueDepth>> {
  const depths = new Map<string, QueueDepth>();
  const { link } = connection;
  if (link === null) return depths;
  try {
    let channel = await openChannel(link);
    for (const name of names) {
      try {
        const { messageCount, consumerCount } = await channel.checkQueue(name);
        depths.set(name, { messages: messageCount, consumers: consumerCount });
      } catch {
        // The broker closes the channel over a queue that does not exist.
        channel = await openChannel(link);
      }
    }
    await channel.close();
  } catch {
    // The connection was lost on the way: what is known is answered.
  }
  return depths;
}
