{{- define "triton.name" -}}
{{ printf "%s-triton" .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "triton.selectorLabels" -}}
app.kubernetes.io/name: triton
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "triton.labels" -}}
{{ include "triton.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "triton.image" -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" .Values.image.repository .Values.image.tag }}
{{- end -}}
{{- end }}

{{/* Who may come: pods of these labels; without labels of namespaces, of this namespace. */}}
{{- define "triton.peer" -}}
- podSelector:
    matchLabels: {{ toYaml .podLabels | nindent 6 }}
  {{- with .namespaceLabels }}
  namespaceSelector:
    matchLabels: {{ toYaml . | nindent 6 }}
  {{- end }}
{{- end }}
