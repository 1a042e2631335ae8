/* Runs a program on an AVR, whose main is called ``program``: what it prints goes to the serial port, and when it ends,
   the CPU sleeps without interrupts, where a simulator stops. */

#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>
#include <stdio.h>

int program(void);

static int put(char letter, FILE *file)
{
    (void) file;
    while (!(UCSR0A & _BV(UDRE0)))
        ;
    UDR0 = (unsigned char) letter;
    return 0;
}

int main(void)
{
    static FILE port = FDEV_SETUP_STREAM(put, NULL, _FDEV_SETUP_WRITE);
    stdout = &port;
    UCSR0B = _BV(TXEN0);
    program();
    cli();
    sleep_enable();
    sleep_cpu();
    return 0;
}
