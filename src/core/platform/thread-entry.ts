/** The first module of a thread. It loads the answering module and passes it one question at a time. */
import { parentPort, workerData } from "node:worker_threads";
import { type Fault, toFault } from "./serialized-error.ts";
import type { Answering } from "./threads.ts";

export type FromThread =
  | { readonly kind: "answer"; readonly question: number; readonly answer: unknown }
  | { readonly kind: "fault"; readonly question: number; readonly fault: Fault };

const tell = (message: FromThread, transfer: readonly ArrayBuffer[] = []): void =>
  parentPort?.postMessage(message, [...transfer]);

const { default: answering }: { default: Answering } = await import(workerData);
let previous: Promise<void> = Promise.resolve();

parentPort?.on("message", ({ question, content }: { question: number; content: unknown }) => {
  // Questions run one after the other, because concurrent ones would delay the first answer.
  previous = previous.then(async () => {
    try {
      const { answer, transfer } = await answering(content as never);
      tell({ kind: "answer", question, answer }, transfer);
    } catch (error) {
      tell({ kind: "fault", question, fault: toFault(error) });
    }
  });
});
