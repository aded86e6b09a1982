package main

import (
	"slices"
	"time"
)

// median of the values; zero of none. The values are not changed.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// percentile by nearest rank: the smallest value that at least p per cent of the values do not exceed. It sorts in place.
func percentile(values []time.Duration, p float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	rank := int(p / 100 * float64(len(values)))
	if float64(rank)*100 < p*float64(len(values)) {
		rank++
	}
	return values[min(max(rank, 1), len(values))-1]
}

// medianOf is the median of one figure over several measurements.
func medianOf[T any](of []T, figure func(T) float64) float64 {
	values := make([]float64, len(of))
	for i, one := range of {
		values[i] = figure(one)
	}
	return median(values)
}

func sumOf[T any](of []T, figure func(T) int) int {
	sum := 0
	for _, one := range of {
		sum += figure(one)
	}
	return sum
}

// ratio of two figures; zero where the second was not measured.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
