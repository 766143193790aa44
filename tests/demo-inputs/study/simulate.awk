# One run of the parameter study: a mass on a spring with a damper, let go at 1, until it has settled.
#
#     awk -v i=57 -f simulate.awk
#
# Parameter i of 1..200 sets the damping ratio z = i/100. The equation of motion is x'' = -2 z x' - x (in units of the
# undamped period over 2 pi). It is integrated with classical Runge-Kutta in steps of 0.01 up to t = 60, and the last
# time at which |x| > 0.05 is the settling time. Prints one line: i, z and the settling time, separated by blanks.
# The smallest settling time of all is the answer of the study; see README.md.

BEGIN {
    STEP = 0.01
    STEPS = 6000
    BAND = 0.05
    if (i < 1 || i > 200 || i != int(i)) {
        print "simulate.awk: i must be a whole number from 1 to 200" > "/dev/stderr"
        exit 2
    }
    z = i / 100
    x = 1
    v = 0
    settled = 0
    for (n = 1; n <= STEPS; n++) {
        step(STEP)
        if (x > BAND || x < -BAND) settled = n
    }
    printf "%d %.2f %.2f\n", i, z, settled * STEP
}

# Moves x and v on by h.
function step(h,    v1, a1, v2, a2, v3, a3, v4, a4) {
    v1 = v;                a1 = force(x, v)
    v2 = v + h / 2 * a1;   a2 = force(x + h / 2 * v1, v2)
    v3 = v + h / 2 * a2;   a3 = force(x + h / 2 * v2, v3)
    v4 = v + h * a3;       a4 = force(x + h * v3, v4)
    x += h / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
    v += h / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
}

function force(x, v) {
    return -2 * z * v - x
}
