/** A worker thread that answers questions. Questions and answers are copied (structured clone), except memory that is transferred. */
export interface Thread {
  /** Whether the thread has ended, or failed to start because of a missing module or missing memory. */
  readonly hasEnded: boolean;
  /** The number of unanswered questions. */
  readonly busy: number;
  /**
   * Passes a question to the thread's function (`AnswerFunction`).
   * @param transfer Memory to transfer instead of copying.
   * @returns The answer; undefined if the thread has ended.
   * @throws The error of the function, with code and hint if it is a `PithError`; a DataCloneError if the question cannot be copied.
   */
  ask(question: unknown, transfer?: readonly ArrayBuffer[]): Promise<Answer | undefined>;
  end(): void;
}

export interface Answer {
  readonly answer: unknown;
  /** Memory to transfer instead of copying. */
  readonly transfer?: readonly ArrayBuffer[];
}

/** The type of the default export of a thread's module. It is called with one question at a time. */
export type AnswerFunction = (question: never) => Promise<Answer>;
