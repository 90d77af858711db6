/** Disables ONNX Runtime's telemetry, which builds from version 1.29 on send. The variable is read when the first session is created. */
import { isMainThread } from "node:worker_threads";
import { PithError } from "../errors.ts";

const variable = "ORT_DISABLE_TELEMETRY";
/** The maximum waiting time in milliseconds for the main thread. */
const timeoutMs = 10_000;

/** Disables telemetry unless the user has set ORT_DISABLE_TELEMETRY. Must be called before the runtime is loaded. @throws PithError E_ENGINE */
export async function disableTelemetry(): Promise<void> {
  // In a thread, `process.env` is a copy that native code does not read.
  if (!isMainThread && !(await setEnvInMainThread()) && !process.env[variable])
    throw new PithError("E_ENGINE", "The telemetry of ONNX Runtime cannot be switched off from this thread.", {
      hint: `Start the program with ${variable}=1 in its environment (0 leaves it on).`,
    });
  process.env[variable] ||= "1";
}

async function setEnvInMainThread(): Promise<boolean> {
  try {
    const { Session } = await import("node:inspector");
    const session = new Session();
    session.connectToMainThread();
    const value = JSON.stringify(process.env[variable] || "1");
    return await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), timeoutMs);
      session.post("Runtime.evaluate", { expression: `process.env.${variable} ||= ${value}` }, (error, answer) => {
        clearTimeout(timer);
        resolve(error === null && answer.exceptionDetails === undefined);
      });
    }).finally(() => session.disconnect());
  } catch {
    return false;
  }
}
