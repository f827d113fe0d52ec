import { afterAll, beforeAll, expect, test } from "vitest";
import { type HttpService, scout, startHttpService } from "./http-service.ts";
let service: HttpService;
beforeAll(async () => { service = await startHttpService(); });
afterAll(() => service.stop());
test("walk", async () => {
  const created = await service.ask("POST", "/v1/schedules", scout("a/b %"));
  console.log(created.status, JSON.stringify(created.body, null, 1));
  console.log((await service.ask("GET", "/v1/schedules?limit=1")).body);
  console.log((await service.ask("GET", `/v1/schedules/${encodeURIComponent("a/b %")}`)).status);
  console.log((await service.ask("POST", `/v1/schedules/${created.body.id}/trigger`, { priority: "high" })).body);
  console.log((await service.ask("GET", "/v1/runs")).body);
  console.log((await service.ask("POST", "/v1/schedules", { ...scout("x"), timing: { kind: "cron", expression: "61 * * * *" }, foo: 1 })).body);
  console.log((await service.ask("POST", "/v1/schedules", { ...scout("x"), timing: { kind: "cron", expression: "61 * * * *", every_seconds: 1 } })).body);
  console.log((await service.ask("POST", "/v1/schedules", { ...scout("x"), timing: { kind: "cron", expression: "61 * * * *", timezone: "Mars" }, payload: {} })).body);
  console.log((await service.ask("GET", "/nope?x=1")).body);
  console.log((await service.ask("GET", "/openapi.json")).body);
  console.log((await service.ask("GET", "/readyz")).body);
});
