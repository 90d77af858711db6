/**
 * ONNX Runtime's telemetry, off. From 1.29 on its builds for Linux and macOS record each session (graph name, producer, operator sets, hashes of
 * weights, a device id) under the home folder and send the records. It looks at the environment of the process once, with its first session.
 */
import { isMainThread } from "node:worker_threads";
import { PithError } from "../errors.ts";

const variable = "ORT_DISABLE_TELEMETRY";
/** Milliseconds. The main thread answers while it computes JavaScript or waits, but not inside a native call. */
const patience = 10_000;

/**
 * Switches it off for this process and those that it starts, unless the user has set ORT_DISABLE_TELEMETRY. Call it before the runtime is loaded.
 * @throws PithError E_ENGINE in a thread that cannot reach the environment of the process.
 */
export async function disableTelemetry(): Promise<void> {
  // A thread's `process.env` is a copy, of which native code knows nothing.
  if (!isMainThread && !(await setInMainThread()) && !process.env[variable])
    throw new PithError("E_ENGINE", "The telemetry of ONNX Runtime cannot be switched off from this thread.", {
      hint: `Start the program with ${variable}=1 in its environment (0 leaves it on).`,
    });
  process.env[variable] ||= "1";
}

async function setInMainThread(): Promise<boolean> {
  try {
    const { Session } = await import("node:inspector");
    const session = new Session();
    session.connectToMainThread();
    const value = JSON.stringify(process.env[variable] || "1");
    return await new Promise<boolean>((resolve) => {
      const late = setTimeout(() => resolve(false), patience);
      session.post("Runtime.evaluate", { expression: `process.env.${variable} ||= ${value}` }, (error, answer) => {
        clearTimeout(late);
        resolve(error === null && answer.exceptionDetails === undefined);
      });
    }).finally(() => session.disconnect());
  } catch {
    return false;
  }
}
