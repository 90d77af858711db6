/** The first module of a thread (`threads.ts`). Loads the module that answers questions and passes one question at a time to it. */
import { parentPort, workerData } from "node:worker_threads";
import { type Fault, toFault } from "./serialized-error.ts";
import type { AnswerFunction } from "./threads.ts";

export type FromThread =
  | { readonly kind: "answer"; readonly question: number; readonly answer: unknown }
  | { readonly kind: "fault"; readonly question: number; readonly fault: Fault };

const postMessage = (message: FromThread, transfer: readonly ArrayBuffer[] = []): void =>
  parentPort?.postMessage(message, [...transfer]);

const { default: answerQuestion }: { default: AnswerFunction } = await import(workerData);
let previousAnswer: Promise<void> = Promise.resolve();

parentPort?.on("message", ({ question, content }: { question: number; content: unknown }) => {
  // Answers questions one after the other, because answering several at once would delay the first answer.
  previousAnswer = previousAnswer.then(async () => {
    try {
      const { answer, transfer } = await answerQuestion(content as never);
      postMessage({ kind: "answer", question, answer }, transfer);
    } catch (error) {
      postMessage({ kind: "fault", question, fault: toFault(error) });
    }
  });
});
