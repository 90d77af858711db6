/** Threads that answer questions, as the platforms share them. */

/** A function in a thread: what it is asked, and what it answers, are copied (structured clone), but for the memory that is handed over. */
export interface Thread {
  /** Whether it ended, or never began: the module was not found, memory ran out. */
  readonly ended: boolean;
  /** Questions without an answer. */
  readonly busy: number;
  /**
   * @param transfer Memory that is handed over instead of copied.
   * @returns The answer; undefined if the thread ended before.
   * @throws what the function threw: a `PithError` keeps code and hint. A DataCloneError where the question cannot be copied.
   */
  ask(question: unknown, transfer?: readonly ArrayBuffer[]): Promise<Answer | undefined>;
  end(): void;
}

export interface Answer {
  readonly answer: unknown;
  /** Memory in it that is handed over instead of copied. */
  readonly transfer?: readonly ArrayBuffer[];
}

/** The default export of a thread's module. Questions come one after the other. */
export type Answering = (question: never) => Promise<Answer>;
