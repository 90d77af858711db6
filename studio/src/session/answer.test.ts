import { expect, test } from "vitest";
import { createAnswerer } from "./answer.ts";
import { type CallContext, createSession } from "./session.ts";

test("a call that is canceled while it waits is answered at once, and not made", async () => {
  const opened: string[] = [];
  let finish = (): void => {};
  const openModel = (place: string) => {
    opened.push(place);
    return new Promise<void>((resolve) => {
      finish = resolve;
    });
  };
  const replies: object[] = [];
  const answer = createAnswerer({ ...createSession(), openModel }, (message) => replies.push(message), "");
  answer({ id: 1, name: "openModel", parameters: ["first"] });
  answer({ id: 2, name: "openModel", parameters: ["second"] });
  answer({ id: 2, stop: true });
  expect(replies).toMatchObject([{ id: 2, failure: { code: "E_STOPPED" } }]);
  await expect.poll(() => opened.length).toBe(1);
  finish();
  answer({ id: 3, name: "openModel", parameters: ["third"] });
  await expect.poll(() => opened).toEqual(["first", "third"]);
});

test("background work waits for computations, and is interrupted by the next one", async () => {
  const events: string[] = [];
  const finish: (() => void)[] = [];
  const compute = (place: string) =>
    new Promise<void>((resolve) => {
      events.push(`${place} begins`);
      finish.push(resolve);
    });
  const session = {
    ...createSession(),
    openModel: compute,
    async downloadSizes(_: unknown, { whenIdle }: CallContext) {
      const interruption = await whenIdle();
      events.push("compression begins");
      interruption.addEventListener("abort", () => events.push("compression is interrupted"));
    },
  };
  const answer = createAnswerer(session, () => {}, "");
  const until = (count: number) => expect.poll(() => events.length).toBe(count);
  answer({ id: 1, name: "openModel", parameters: ["first"] });
  answer({ id: 2, name: "downloadSizes", parameters: [undefined] });
  await until(1);
  finish[0]?.();
  await until(2);
  answer({ id: 3, name: "openModel", parameters: ["second"] });
  await until(4);
  expect(events).toEqual(["first begins", "compression begins", "compression is interrupted", "second begins"]);
});

test("a call for which nobody waits is ended by the next computation", async () => {
  const replies: object[] = [];
  const session = {
    ...createSession(),
    openModel: async () => "opened",
    smallestDownload: (_: unknown, { signal }: CallContext) =>
      new Promise((_resolve, reject) => signal.addEventListener("abort", reject)),
  };
  const answer = createAnswerer(session, (message) => replies.push(message), "");
  answer({ id: 1, name: "smallestDownload", parameters: [undefined] });
  await Promise.resolve();
  answer({ id: 2, name: "openModel", parameters: ["a"] });
  await expect
    .poll(() => replies)
    .toMatchObject([
      { id: 1, failure: { code: "E_STOPPED" } },
      { id: 2, value: "opened" },
    ]);
});
