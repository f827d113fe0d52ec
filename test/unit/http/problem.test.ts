import { expect, test } from "vitest";
import { InvalidRequest, toProblem } from "../../../src/http/problem.ts";
import { Conflict, InvalidInput, NotFound, StaleRevision, Unavailable } from "../../../src/schedule/errors.ts";

const told = (error: unknown) => toProblem(error, "/v1/x");

test("each kind of error has its status", () => {
  expect(told(new NotFound("no"))).toMatchObject({ status: 404, detail: "no", instance: "/v1/x" });
  expect(told(new Conflict("busy", { status: "running" }))).toMatchObject({
    status: 409,
    state: { status: "running" },
  });
  expect(told(new StaleRevision(7))).toMatchObject({ status: 412, revision: 7 });
  expect(told(new Unavailable("away"))).toMatchObject({ status: 503, detail: "away" });
  expect(
    told(Object.assign(new Error("large"), { code: "FST_ERR_CTP_BODY_TOO_LARGE", statusCode: 413 })),
  ).toMatchObject({
    status: 413,
  });
});

test("columns are named as the fields of the request; what the request itself named stays", () => {
  const errors = [{ field: "catchup", message: "is odd" }];
  expect(told(new InvalidInput(errors)).errors).toEqual([{ field: "catchup.policy", message: "is odd" }]);
  expect(told(new InvalidRequest(errors)).errors).toEqual(errors);
  expect(told(new InvalidInput(errors)).detail).toBe("catchup.policy: is odd");
});

test("nothing is told of an error of the service, whatever it claims to be", () => {
  for (const error of [
    new Error("secret"),
    Object.assign(new Error("secret"), { statusCode: 400 }),
    Object.assign(new Error("secret"), { code: "FST_ERR_X", statusCode: 500 }),
    "secret",
    null,
    undefined,
  ]) {
    const answer = told(error);
    expect(answer.status).toBe(500);
    expect(JSON.stringify(answer)).not.toContain("secret");
  }
});

test("a request with very many faults is not answered with all of them", () => {
  const errors = Array.from({ length: 5_000 }, (_, index) => ({ field: `targets.${index}`, message: "is empty" }));
  expect(told(new InvalidInput(errors)).errors).toHaveLength(100);
});
