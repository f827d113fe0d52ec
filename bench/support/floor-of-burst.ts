import { runChild } from "./child.ts";
import { PREFIX } from "./service.ts";

/** The floor of a burst: amqplib publishes the same bytes with confirms to the same queue, another process drains it; ms. */
export async function burstFloor(url: string, queue: string, count: number): Promise<number> {
  const receiver = runChild("receiver.ts", [url, queue, String(count)]);
  await receiver.line();
  const publisher = runChild("floor.ts", [url, `${PREFIX}.triggers`, "scout.trigger.v1", String(count)]);
  await publisher.line();
  publisher.process.stdin!.write("go\n");
  const { began } = JSON.parse(await publisher.line()) as { began: number };
  const { last } = JSON.parse(await receiver.line()) as { last: number };
  return last - began;
}
