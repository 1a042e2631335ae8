/* Lorenz's equations, by hand: x at the time 1 for each r, by 1,000 steps of Tsitouras's method, WIDTH trajectories at
   once in two of the longest vectors. */

#include <stddef.h>

enum { WIDTH = 128/sizeof(REAL), STEPS = 1000 };

typedef REAL numbers __attribute__((vector_size(128)));

static inline __attribute__((always_inline)) void rates(const numbers *u, const numbers *r, numbers *k)
{
    k[0] = (REAL) 10*(u[1] - u[0]);
    k[1] = *r*u[0] - u[1] - u[0]*u[2];
    k[2] = u[0]*u[1] - (REAL) 2.666*u[2];
}

static void solve(const numbers *r, numbers *u)
{
    const REAL h = (REAL) 0.001;
    for (int step = 0; step < STEPS; step++) {
        numbers k1[3], k2[3], k3[3], k4[3], k5[3], k6[3], v[3];
        rates(u, r, k1);
        for (int i = 0; i < 3; i++)
            v[i] = u[i] + h*(REAL) 0.161*k1[i];
        rates(v, r, k2);
        for (int i = 0; i < 3; i++)
            v[i] = u[i] + h*(REAL) -0.008480655492356989*k1[i] + h*(REAL) 0.335480655492357*k2[i];
        rates(v, r, k3);
        for (int i = 0; i < 3; i++)
            v[i] = u[i] + h*(REAL) 2.8971530571054935*k1[i] + h*(REAL) -6.359448489975075*k2[i]
                + h*(REAL) 4.3622954328695815*k3[i];
        rates(v, r, k4);
        for (int i = 0; i < 3; i++)
            v[i] = u[i] + h*(REAL) 5.325864828439257*k1[i] + h*(REAL) -11.748883564062828*k2[i]
                + h*(REAL) 7.4955393428898365*k3[i] + h*(REAL) -0.09249506636175525*k4[i];
        rates(v, r, k5);
        for (int i = 0; i < 3; i++)
            v[i] = u[i] + h*(REAL) 5.86145544294642*k1[i] + h*(REAL) -12.92096931784711*k2[i]
                + h*(REAL) 8.159367898576159*k3[i] + h*(REAL) -0.071584973281401*k4[i]
                + h*(REAL) -0.028269050394068383*k5[i];
        rates(v, r, k6);
        for (int i = 0; i < 3; i++)
            u[i] = u[i] + h*(REAL) 0.09646076681806523*k1[i] + h*(REAL) 0.01*k2[i] + h*(REAL) 0.4798896504144996*k3[i]
                + h*(REAL) 1.379008574103742*k4[i] + h*(REAL) -3.290069515436081*k5[i]
                + h*(REAL) 2.324710524099774*k6[i];
    }
}

void trajectories(const REAL *r, size_t count, REAL *x)
{
    for (size_t first = 0; first < count; first += WIDTH) {
        const size_t left = count - first < WIDTH ? count - first : WIDTH;
        numbers own = {0}, u[3] = {{0}};
        for (size_t n = 0; n < WIDTH; n++) {
            own[n] = r[first + (n < left ? n : left - 1)];
            u[0][n] = 1;
        }
        solve(&own, u);
        for (size_t n = 0; n < left; n++)
            x[first + n] = u[0][n];
    }
}
