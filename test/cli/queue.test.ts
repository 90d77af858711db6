import { expect, test } from "vitest";
import { serve } from "../../src/cli/queue/queue.ts";
import { temporaryFolder } from "../temporary.ts";
import { freePort, noServer, startRedis } from "./redis-server.ts";

test.skipIf(noServer !== "")(`a worker whose server has ended stops on request ${noServer}`, async () => {
  const port = await freePort();
  const stopServer = await startRedis(temporaryFolder(), port);
  const controller = new AbortController();
  let served: Promise<void> | undefined;
  await new Promise<void>((onReady, reject) => {
    const how = { signal: controller.signal, jobs: 1, onReady };
    served = serve(`redis://127.0.0.1:${port}`, async () => {}, how);
    served.catch(reject);
  });
  await stopServer();
  controller.abort();
  await expect(served).resolves.toBeUndefined();
});
