/** A Valkey or Redis server for tests, where one is installed. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";

const names = ["valkey-server", "redis-server"];
const program = names.find((name) => spawnSync(name, ["--version"]).status === 0);

/** Why tests are skipped; "" if there is a server. */
export const noServer = program === undefined ? `(skipped: there is no ${names.join(" or ")})` : "";

export const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const listening = createServer().listen(0, () => {
      const address = listening.address();
      listening.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });

/** Starts a server, and returns how it is ended. @param folder for its files. */
export async function startRedis(
  folder: string,
  port: number,
  ...more: readonly string[]
): Promise<() => Promise<void>> {
  const words = ["--port", String(port), "--save", "", "--appendonly", "yes", "--dir", folder, ...more];
  const child = spawn(program ?? "", words, { stdio: ["ignore", "pipe", "inherit"] });
  const kill = (): void => void child.kill("SIGKILL");
  process.once("exit", kill);
  let output = "";
  await new Promise<void>((resolve, reject) => {
    child.once("close", () => reject(new Error(`the server ended: ${output}`)));
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.includes("Ready to accept connections")) resolve();
    });
  });
  return async () => {
    process.off("exit", kill);
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGTERM");
    await once(child, "close");
  };
}
