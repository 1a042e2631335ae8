/* Starts a program on a Cortex-M4 without an operating system. What it prints, and how it ends, goes to the debugger by
   Arm's semihosting, for which newlib has a library (rdimon.specs). */

#include <stdint.h>
#include <stdlib.h>

extern uint32_t data_begin[], data_end[], data_source[], bss_begin[], bss_end[], stack_end[];
void initialise_monitor_handles(void);
int main(void);

void reset(void)
{
    *(volatile uint32_t *) 0xE000ED88 |= UINT32_C(0xF) << 20; /* the unit for floating point is on */
    __asm__ volatile("dsb\n\tisb");
    for (uint32_t *to = data_begin, *from = data_source; to < data_end;)
        *to++ = *from++;
    for (uint32_t *to = bss_begin; to < bss_end;)
        *to++ = 0;
    initialise_monitor_handles();
    exit(main());
}

void _init(void) {}
void _fini(void) {}

__attribute__((section(".vectors"), used)) static void *const vectors[] = {stack_end, (void *) reset};
