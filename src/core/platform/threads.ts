/** A function in a thread: questions and answers are structured clones, except transferred memory. */
export interface Thread {
  /** Whether it has ended or failed to start: missing module, out of memory. */
  readonly ended: boolean;
  readonly busy: number;
  /**
   * @param transfer Memory to transfer instead of copying.
   * @returns The answer; undefined if the thread ended before.
   * @throws The error of the function: a `PithError` keeps its code and hint. A DataCloneError if the question cannot be copied.
   */
  ask(question: unknown, transfer?: readonly ArrayBuffer[]): Promise<Answer | undefined>;
  end(): void;
}

export interface Answer {
  readonly answer: unknown;
  /** Memory to transfer instead of copying. */
  readonly transfer?: readonly ArrayBuffer[];
}

/** The default export of a thread's module. It gets one question at a time. */
export type Answering = (question: never) => Promise<Answer>;
