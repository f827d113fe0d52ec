import { expect, test } from "vitest";
import { withoutSecrets } from "../../../src/runtime/logger.ts";

test.each([
  ["amqp://u:s3cr3t@mq:5672/v", "amqp://u:[hidden]@mq:5672/v"],
  ["amqps://u:s3%40cr3t%2F@mq", "amqps://u:[hidden]@mq"],
  [
    "postgresql://u:s3cr3t@db/x?password=s3cr3t&sslmode=require",
    "postgresql://u:[hidden]@db/x?password=[hidden]&sslmode=require",
  ],
  // Not encoded as it should be: what stands before the last @ is the password.
  ["postgres://u:s3/cr@3t@db/x", "postgres://u:[hidden]@db/x"],
  ["amqp://:s3cr3t@mq", "amqp://:[hidden]@mq"],
  [JSON.stringify({ input: 'amqp://u:s3"cr3t@mq' }), JSON.stringify({ input: "amqp://u:[hidden]@mq" })],
  ["authorization: Bearer s3cr3t, x", "authorization: Bearer [hidden], x"],
  ["unknown token pwt_s3cr3t-_x.", "unknown token [hidden]."],
])("%s", (line, shown) => {
  expect(withoutSecrets(line)).toBe(shown);
});

test.each([
  '{"http":"http://127.0.0.1:7420","msg":"listening"}',
  '{"subject":"schedules/a:b","at":"2026-11-21T07:00:00Z","who":"a@b"}',
  "postgresql://u@db/x",
  "https://example.org/a:b/c",
])("%s stays as it is", (line) => {
  expect(withoutSecrets(line)).toBe(line);
});
