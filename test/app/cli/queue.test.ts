import { expect, test } from "vitest";
import { openQueue, serveQueue } from "../../../src/app/cli/queue/queue.ts";
import { temporaryFolder } from "../../temporary.ts";
import { freePort, noServer, startRedis } from "./redis-server.ts";

test.skipIf(noServer !== "")(`a worker stops on request after its server ended ${noServer}`, async () => {
  const port = await freePort();
  const stopServer = await startRedis(temporaryFolder(), port);
  const controller = new AbortController();
  let served: Promise<void> | undefined;
  await new Promise<void>((onReady, reject) => {
    const how = { signal: controller.signal, jobs: 1, onReady };
    served = serveQueue(`redis://127.0.0.1:${port}`, async () => {}, how);
    served.catch(reject);
  });
  await stopServer();
  controller.abort();
  await expect(served).resolves.toBeUndefined();
});

test.skipIf(noServer !== "")(
  `a queued job ends if the server is lost, and later ones are not queued ${noServer}`,
  async () => {
    const port = await freePort();
    const stopServer = await startRedis(temporaryFolder(), port);
    const queue = await openQueue(`redis://127.0.0.1:${port}`, 1);
    const work = { kind: "candidate", name: "int8", input: {} } as never;
    const job = { stopSignal: new AbortController().signal, isWanted: () => true };
    const ended = queue.doOne(work, job);
    await queue.countWorkers();
    await stopServer();
    expect(await ended).toBe(true);
    expect(queue).toMatchObject({ isLost: true, room: 0 });
    expect(await queue.doOne(work, job)).toBe(true);
    await queue.close();
  },
);

test.skipIf(noServer !== "")(`queued jobs end on a stop after the server was lost ${noServer}`, async () => {
  const warnings: string[] = [];
  process.on("warning", ({ name }) => warnings.push(name));
  const port = await freePort();
  const stopServer = await startRedis(temporaryFolder(), port);
  const queue = await openQueue(`redis://127.0.0.1:${port}`);
  const controller = new AbortController();
  const work = { kind: "candidate", name: "int8", input: {} } as never;
  // Node warns of more than ten listeners of one signal.
  const jobs = Array.from({ length: 12 }, () =>
    queue.doOne(work, { stopSignal: controller.signal, isWanted: () => true }),
  );
  await queue.countWorkers();
  await stopServer();
  // The client notices the end of the connection later than the server's process ends.
  await new Promise((resolve) => setTimeout(resolve, 200));
  controller.abort();
  expect(new Set(await Promise.all(jobs))).toEqual(new Set([true]));
  expect(warnings).toEqual([]);
  await queue.close();
});
