/** What a user can mend: one line naming the thing, the fault and the remedy. Anything else thrown is a fault of ours. */
export class Fault extends Error {}

/** The line to show for whatever was thrown. */
export function told(thrown: unknown): string {
  if (thrown instanceof Fault) return thrown.message;
  return `Something went wrong in this page (${thrown instanceof Error ? thrown.message : String(thrown)}). Reload it.`;
}
