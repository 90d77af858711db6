/**
 * Disables ONNX Runtime's telemetry. From 1.29 on its builds for Linux and macOS record sessions (graph name, producer, opsets, hashes of weights,
 * a device id) in the home folder and send them. It reads the process environment once, in the first session.
 */
import { isMainThread } from "node:worker_threads";
import { PithError } from "../errors.ts";

const variable = "ORT_DISABLE_TELEMETRY";
/** Milliseconds. The main thread answers while it runs JavaScript or waits, but not inside a native call. */
const patience = 10_000;

/**
 * Disables telemetry for this process and its children, unless the user has set ORT_DISABLE_TELEMETRY. Call it before loading the runtime.
 * @throws PithError E_ENGINE in a thread that cannot reach the environment of the process.
 */
export async function disableTelemetry(): Promise<void> {
  // A thread's `process.env` is a copy that native code does not see.
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
