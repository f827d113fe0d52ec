import type { Channel } from "amqplib";
import type { Link } from "./connection.ts";
import { codeOf, REPLY, reasonOf } from "./reply.ts";
import type { Topology } from "./topology.ts";

/** One thing that could not be declared; everything else was. */
export interface TopologyProblem {
  /** `queue pocketwatch.status` */
  readonly entity: string;
  /** AMQP reply code, e.g. 406; `null` when the failure has none. */
  readonly code: number | null;
  readonly message: string;
}

/**
 * Declares exchanges, queues and bindings. The broker closes the channel over each one it refuses (406: it exists with
 * other properties), so each goes on after a failure on a fresh channel, and is reported. Rejects only when the
 * connection is lost.
 */
export async function declareTopology(link: Link, topology: Topology): Promise<TopologyProblem[]> {
  const problems: TopologyProblem[] = [];
  let channel = await openChannel(link);

  async function attempt(entity: string, declare: (channel: Channel) => Promise<unknown>): Promise<void> {
    try {
      await declare(channel);
    } catch (error) {
      channel = await openChannel(link);
      problems.push({ entity, code: codeOf(error), message: reasonOf(error) });
    }
  }

  for (const { name, type, ours } of topology.exchanges) {
    if (!ours && (await exists(name))) continue;
    await attempt(`exchange ${name}`, (on) => on.assertExchange(name, type, { durable: true }));
  }
  for (const { name, arguments: args } of topology.queues) {
    await attempt(`queue ${name}`, (on) => on.assertQueue(name, { durable: true, arguments: args }));
  }
  for (const { queue, exchange, routing_key } of topology.bindings) {
    await attempt(`binding of ${queue} to ${exchange}`, (on) => on.bindQueue(queue, exchange, routing_key));
  }
  await channel.close();
  return problems;

  /** Whether the exchange is there, of whatever type its owner made it. */
  async function exists(exchange: string): Promise<boolean> {
    try {
      await channel.checkExchange(exchange);
      return true;
    } catch (error) {
      channel = await openChannel(link);
      return codeOf(error) !== REPLY.not_found;
    }
  }
}

/** A channel whose errors reach whoever waits for its replies, and nobody else. */
export async function openChannel(link: Link): Promise<Channel> {
  const channel = await link.model.createChannel();
  channel.on("error", () => undefined);
  return channel;
}
