/** A module that never finishes loading: no job of it can begin. */
setInterval(() => {}, 1000);
await new Promise(() => {});

export default async function never(): Promise<void> {}
